'use strict';
// The management port: /live, /ready and /metrics (Prometheus text).
const http = require('node:http');
const metrics = require('prom-client');

/** Turns ready once and stays so although a dependency blinks, until the runtime is told to stop. */
const readiness = {
  ready: false,
  draining: false,
  reason: 'starting',
  turnReady() {
    this.ready = true;
    this.reason = 'serving';
  },
};

async function answer(request, response) {
  switch (new URL(request.url, 'http://runtime').pathname) {
    case '/live':
      return reply(response, 200, 'alive');
    case '/ready':
      return readiness.draining
        ? reply(response, 503, 'draining')
        : reply(response, readiness.ready ? 200 : 503, readiness.reason);
    case '/metrics':
      response.writeHead(200, { 'Content-Type': metrics.register.contentType });
      return response.end(await metrics.register.metrics());
    default:
      return reply(response, 404, 'no such resource');
  }
}

function reply(response, status, reason) {
  const body = JSON.stringify({ reason }) + '\n';
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

/** Opens the port; rejects when it is taken. */
function start(port) {
  metrics.collectDefaultMetrics();
  return new Promise((resolve, reject) => {
    http.createServer(answer).on('error', reject).listen(port, resolve);
  });
}

module.exports = { start, readiness, metrics };
