'use strict';
// Writes a file per stored order: /data/<id>.json, complete or not at all. Writing one twice changes nothing.
const fs = require('node:fs/promises');

const QUEUE = 'orders.stored::notify';
const WINDOW = 16;

/** Starts the flow; resolves once it consumes. */
async function start({ broker, settings, metrics }) {
  const folder = settings.path('/data');
  await fs.access(folder, fs.constants.W_OK);
  const written = new metrics.Counter({ name: 'notifications_total', help: 'Files written for stored orders.' });
  await broker.consume(QUEUE, WINDOW, async (text) => {
    const order = JSON.parse(text);
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(order.id)) throw new Error(`an event without a usable id: ${text.slice(0, 80)}`);
    await write(`${folder}/${order.id}.json`, text);
    written.inc();
  });
}

let sequence = 0;

async function write(path, text) {
  sequence += 1;
  const temporary = `${path}.${process.pid}-${sequence}.tmp`;
  const file = await fs.open(temporary, 'w', 0o640);
  try {
    await file.writeFile(text + '\n');
    await file.sync();
  } finally {
    await file.close();
  }
  await fs.rename(temporary, path);
}

module.exports = { start };
