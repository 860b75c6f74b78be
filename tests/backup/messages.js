'use strict';
// Run in the image of a node runtime, beside its libraries: `send QUEUE COUNT BYTES TAG` or `look QUEUE` (takes nothing away).
const fs = require('node:fs');
const crypto = require('node:crypto');
const rhea = require('/opt/stele/lib/node_modules/rhea');

const [verb, queue, count, bytes, tag] = process.argv.slice(2);
const password = fs.readFileSync('/run/secrets/broker-password', 'utf8').trim();
const connection = rhea.connect({ host: 'broker', port: 61616, username: 'orders', password, reconnect: false });
const fail = (error) => { console.error(String(error)); process.exit(1); };
rhea.on('disconnected', () => fail('disconnected'));
rhea.on('connection_error', (context) => fail(context.connection.error));
rhea.on('receiver_error', (context) => fail(context.receiver.error));
rhea.on('sender_error', (context) => fail(context.sender.error));

if (verb === 'send') {
  let accepted = 0;
  let sent = 0;
  const sender = connection.open_sender(queue);
  sender.on('sendable', () => {
    while (sent < Number(count) && sender.sendable()) {
      const body = `${tag}-${sent} ` + crypto.randomBytes(Number(bytes)).toString('base64').slice(0, Number(bytes));
      sender.send({ body, durable: true });
      sent += 1;
    }
  });
  sender.on('accepted', () => { if ((accepted += 1) === Number(count)) process.exit(0); });
} else {
  // Browsed: nothing is taken away, and there may be more than a session may hold. Drained: the broker says itself that
  // there is no more, however long a busy machine takes.
  const PART = 500;
  const found = [];
  let before = 0;
  const receiver = connection.open_receiver({ source: { address: queue, distribution_mode: 'copy' }, credit_window: 0 });
  const more = () => {
    before = found.length;
    receiver.add_credit(PART);
    receiver.drain_credit();
  };
  rhea.on('receiver_open', more);
  rhea.on('message', (context) => {
    found.push(String(context.message.body));
    if (found.length === before + PART) more();
  });
  rhea.on('receiver_drained', () => {
    if (found.length > before) more();
    else process.stdout.write(JSON.stringify(found.sort()), () => process.exit(0));
  });
}
