'use strict';
// Layer 4 of the image (/opt/stele/config/*.properties), overridden by the environment's configuration object.
const fs = require('node:fs');

/** Prefix of every absolute path; empty in an image, a scratch folder where parts run outside one. */
const ROOT = process.env.STELE_ROOT || '';
const CONFIG = `${ROOT}/opt/stele/config`;
const values = {};

function add(file) {
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const found = /^\s*([A-Z][A-Z0-9_]*)\s*=(.*)$/.exec(line);
    if (found) values[found[1]] = found[2].trim();
  }
}

if (fs.existsSync(CONFIG)) {
  fs.readdirSync(CONFIG).filter((name) => name.endsWith('.properties')).sort().forEach((name) => add(`${CONFIG}/${name}`));
}
if (fs.existsSync(`${ROOT}/etc/stele/environment.properties`)) add(`${ROOT}/etc/stele/environment.properties`);

module.exports = {
  path: (absolute) => ROOT + absolute,
  get: (key, fallback) => values[key] ?? fallback,

  /** The value of a key as a whole number; throws naming key and value. */
  number(key, fallback) {
    const value = values[key];
    if (value === undefined) return fallback;
    if (!/^\d+$/.test(value)) throw new Error(`${key}=${value} is not a whole number`);
    return Number(value);
  },

  /** The content of secret file /run/secrets/<name>. */
  secret(name) {
    const file = `${ROOT}/run/secrets/${name}`;
    if (!fs.existsSync(file)) throw new Error(`secret '${name}' is missing: ${file}`);
    return fs.readFileSync(file, 'utf8').trim();
  },
};
