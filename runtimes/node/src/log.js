'use strict';

/** One line per event on stdout: time, level, message, and for an error where it arose. */
function log(level, message, error) {
  const where = error ? ` | ${(error.stack || String(error)).split('\n').slice(0, 2).map((line) => line.trim()).join(' ')}` : '';
  process.stdout.write(`${new Date().toISOString()} ${level} ${message}${where}`.replace(/[\r\n]+/g, ' ') + '\n');
}

module.exports = { log };
