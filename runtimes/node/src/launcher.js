'use strict';
// Starts a runtime of the node family: management port, then every flow; and ends it in good order on SIGTERM.
const fs = require('node:fs');
const path = require('node:path');
const broker = require('./broker');
const management = require('./management');
const settings = require('./settings');
const { log } = require('./log');

const DIRECTORY = settings.path('/opt/stele/flows');

async function start() {
  const readiness = management.readiness;
  await management.start(settings.number('MANAGEMENT_PORT', 9000));
  const files = fs.readdirSync(DIRECTORY).filter((name) => name.endsWith('.js')).sort();
  if (files.length === 0) throw new Error(`${DIRECTORY} holds no flow`);
  for (const file of files) {
    const flow = require(path.join(DIRECTORY, file));
    readiness.reason = `waiting for flow ${file}`;
    await flow.start({ broker, settings, log, metrics: management.metrics });
    log('INFO', `flow ${file} runs`);
  }
  readiness.turnReady();
  log('INFO', `ready ${Math.round(process.uptime() * 1000)} ms after the start`);
}

async function stop(signal) {
  if (management.readiness.draining) return;
  management.readiness.draining = true;
  log('INFO', `stopping on ${signal}`);
  await broker.stop();
  log('INFO', 'stopped');
  process.exit(0);
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => stop(signal).catch(fail('did not stop in good order')));
}

function fail(what) {
  return (error) => {
    log('ERROR', what, error);
    process.exit(1);
  };
}

process.on('unhandledRejection', fail('unhandled'));
start().catch((error) => (management.readiness.draining ? undefined : fail('cannot start')(error)));
