'use strict';
// Writes a file per stored order: /data/<id>.json, complete or not at all. Writing one twice changes nothing.
const fs = require('node:fs/promises');
const { randomUUID } = require('node:crypto');

const QUEUE = 'orders.stored::notify';
const WINDOW = 16;
const STALE_MS = 60_000;
// Two generations write into the same volume during a change, and in both this is process 1.
const OWN = randomUUID().slice(0, 8);

/** Starts the flow; resolves once it consumes. */
async function start({ broker, settings, log, metrics }) {
  const folder = settings.path('/data');
  await fs.access(folder, fs.constants.W_OK);
  tidy(folder).catch((error) => log('WARNING', 'unfinished files were not removed', error));
  const written = new metrics.Counter({ name: 'notifications_total', help: 'Files written for stored orders.' });
  await broker.consume(QUEUE, WINDOW, async (text) => {
    const order = JSON.parse(text);
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(order.id)) throw new Error(`an event without a usable id: ${text.slice(0, 80)}`);
    await write(folder, `${order.id}.json`, text);
    written.inc();
  });
}

let sequence = 0;

/** Resolves once the file is on the disk under its name; when it rejects, nothing of it is left. */
async function write(folder, name, text) {
  sequence += 1;
  const temporary = `${folder}/${name}.${OWN}-${sequence}.tmp`;
  try {
    await synchronised(temporary, 'wx', (file) => file.writeFile(text + '\n'));
    await fs.rename(temporary, `${folder}/${name}`);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
  // The name is the folder's content.
  await synchronised(folder, 'r');
}

/** Opens a file or folder, lets `work` act on it, and resolves once everything of it is on the disk. */
async function synchronised(path, flags, work = async () => {}) {
  const file = await fs.open(path, flags, 0o640);
  try {
    await work(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes what killed processes left half written. Whatever is younger may be another generation's, at work. */
async function tidy(folder) {
  for await (const { name } of await fs.opendir(folder)) {
    if (!name.endsWith('.tmp')) continue;
    const path = `${folder}/${name}`;
    const age = Date.now() - (await fs.stat(path).catch(() => ({ mtimeMs: Infinity }))).mtimeMs;
    if (age > STALE_MS) await fs.rm(path, { force: true });
  }
}

module.exports = { start };
