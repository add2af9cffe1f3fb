// Loaded before the gateway (node --require), for two things that it cannot be told.
//
// It can be told a port but no address and would listen on every interface of the
// machine: it listens on --host instead, which must be a loopback address.
//
// And it would resolve names as this host does: it asks the name server --dns
// instead, for each new connection again. fetch() has net.connect look names up,
// which takes dns.lookup.
'use strict';
const dns = require('node:dns');
const net = require('node:net');

const option = (name) => {
  const arg = process.argv.find((arg) => arg.startsWith(`--${name}=`));
  return arg && arg.slice(name.length + 3);
};

const host = option('host');
if (!host || !/^127(\.\d{1,3}){3}$/.test(host)) {
  console.error(`--host: ${host}: want a loopback address, 127.x.x.x`);
  process.exit(2);
}

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, host, ...rest.filter((arg) => typeof arg === 'function'));
};

const resolver = new dns.Resolver({ timeout: 500, tries: 1 });
resolver.setServers([option('dns')]);

const lookup = dns.lookup;
dns.lookup = function (name, options, callback) {
  if (typeof options === 'function') {
    callback = options;
    options = {};
  }
  if (net.isIP(name)) {
    return lookup.call(dns, name, options, callback);
  }
  resolver.resolve4(name, (err, found) => {
    if (err) {
      callback(err);
    } else if (options.all) {
      callback(null, found.map((address) => ({ address, family: 4 })));
    } else {
      callback(null, found[0], 4);
    }
  });
};
