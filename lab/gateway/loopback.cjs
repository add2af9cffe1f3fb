// Loaded before the gateway (node --require), which can be told a port but no
// address and would listen on every interface of the machine: it listens on
// --host instead, which must be a loopback address.
'use strict';
const net = require('node:net');

const option = process.argv.find((arg) => arg.startsWith('--host='));
const host = option && option.slice('--host='.length);
if (!host || !/^127(\.\d{1,3}){3}$/.test(host)) {
  console.error(`--host: ${host}: want a loopback address, 127.x.x.x`);
  process.exit(2);
}

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, host, ...rest.filter((arg) => typeof arg === 'function'));
};
