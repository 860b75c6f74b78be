'use strict';
// Consuming from the broker over AMQP 1.0: keeps trying, and tries every address behind the broker's name. While the broker
// hands over, its name answers with the old and the new task, and only one of them listens.
const dns = require('node:dns').promises;
const net = require('node:net');
const rhea = require('rhea');
const settings = require('./settings');
const { log } = require('./log');

const RETRY_MS = 100;
const IDLE_MS = 10000;
const container = rhea.create_container({ id: `stele-${process.pid}` });
const consumers = [];
let stopping = false;

/** The first address of the broker that accepts a connection. Rejects when none does. */
async function reachable() {
  const host = settings.get('BROKER_HOST', 'broker');
  const port = settings.number('BROKER_PORT', 61616);
  let last = new Error(`the name of broker '${host}' is unknown`);
  for (const { address } of await dns.lookup(host, { all: true })) {
    try {
      await probe(address, port);
      return { host: address, port };
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function probe(host, port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, timeout: 1000 });
    socket.on('connect', () => socket.destroy() && resolve());
    socket.on('timeout', () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
    socket.on('error', reject);
  });
}

/**
 * Hands every message of `queue` to `handle(text)`, at most `window` at a time, for ever. A message is acknowledged when
 * the promise resolves; when it rejects, the broker delivers it again. Resolves once the queue was reached for the first time.
 */
function consume(address, window, handle) {
  const consumer = { address, window, handle, connection: null, atWork: 0, said: '' };
  consumers.push(consumer);
  return new Promise((resolve) => connect(consumer, resolve));
}

async function connect(consumer, opened) {
  if (stopping) return;
  try {
    open(consumer, await reachable(), opened);
  } catch (error) {
    if (error.message !== consumer.said) log('INFO', `waiting for the broker: ${error.message}`);
    consumer.said = error.message;
    setTimeout(connect, RETRY_MS, consumer, opened);
  }
}

function open(consumer, place, opened) {
  const connection = container.connect({
    ...place,
    username: settings.get('BROKER_USER', 'stele'),
    password: settings.secret('broker-password'),
    reconnect: false,
    idle_time_out: IDLE_MS,
  });
  consumer.connection = connection;
  connection.open_receiver({ source: consumer.address, credit_window: 0, autoaccept: false });
  connection.on('receiver_open', ({ receiver }) => {
    log('INFO', `consumes ${consumer.address}`);
    consumer.said = '';
    receiver.add_credit(consumer.window);
    opened();
  });
  connection.on('message', (context) => deliver(consumer, context));
  for (const event of ['connection_error', 'receiver_error', 'error']) {
    connection.on(event, (context) => log('WARNING', `broker: ${describe(context)}`));
  }
  connection.on('receiver_close', () => connection.close());
  connection.once('disconnected', () => retry(consumer, opened));
  connection.once('connection_close', () => retry(consumer, opened, connection));
}

function retry(consumer, opened) {
  if (!consumer.retrying && !stopping) {
    consumer.retrying = true;
    setTimeout(() => {
      consumer.retrying = false;
      connect(consumer, opened);
    }, RETRY_MS);
  }
}

function describe(context) {
  const error = context.error || context.connection?.error || context.receiver?.error || context;
  return error.description || error.message || error.condition || String(error);
}

async function deliver(consumer, { message, delivery, receiver }) {
  consumer.atWork += 1;
  try {
    await consumer.handle(typeof message.body === 'string' ? message.body : Buffer.from(message.body?.content ?? []).toString());
    delivery.accept();
  } catch (error) {
    log('WARNING', 'a message goes back to its queue', error);
    delivery.modified({ delivery_failed: true, undeliverable_here: false });
  } finally {
    consumer.atWork -= 1;
    if (!stopping && receiver.is_open()) receiver.add_credit(1);
  }
}

/** Takes no more messages, finishes those at work, says goodbye. */
async function stop() {
  stopping = true;
  while (consumers.some((consumer) => consumer.atWork > 0)) await new Promise((resolve) => setTimeout(resolve, 20));
  await Promise.all(consumers.map((consumer) => close(consumer.connection)));
}

function close(connection) {
  if (!connection || !connection.is_open()) return undefined;
  return new Promise((resolve) => {
    connection.once('connection_close', resolve);
    connection.once('disconnected', resolve);
    connection.close();
  });
}

module.exports = { consume, stop };
