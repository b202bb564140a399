// run.mjs MODULE BARTIZAN FOLDER: what a request costs inside the filter, in the V8 of Node, without Envoy around.
//
// V8 is what Envoy runs modules with; Node's is of another version. Only the judgement of the request's head is measured:
// no call into a proxy is made, no header is copied out of one.
import { execFileSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [modulePath, bartizan, folder] = process.argv.slice(2);
const SECRET = '0123456789abcdef0123456789abcdef';
const NOW = 1_800_000_000;
const ENTRIES = 100_000;
const ROUNDS = 25;

const module = new WebAssembly.Module(readFileSync(modulePath));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  // Nothing of the system is needed; what asks for it gets zeros.
  (imports[from] ??= {})[name] = () => {
    if (name === 'proc_exit') throw new Error('the module has ended');
    return 0;
  };
}

function put(module, text) {
  const bytes = Buffer.from(text);
  const at = module.buffer(bytes.length);
  new Uint8Array(module.memory.buffer, at, bytes.length).set(bytes);
}

// A module with a policy: `files` is its bundle.
function loaded(name, files) {
  const source = join(folder, name);
  mkdirSync(source, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(source, file), text);
  const plan = join(folder, `${name}.json`);
  // What it warns of is of no matter here; what it refuses is in the error.
  execFileSync(bartizan, ['build', '--plan', source, '-o', plan], { stdio: ['ignore', 'ignore', 'pipe'] });
  const made = new WebAssembly.Instance(module, imports).exports;
  made._initialize?.();
  put(made, readFileSync(plan));
  made.load();
  return made;
}

// Microseconds of a request on each of the two routes: the medians of rounds that take turns, once V8 has compiled what is hot.
function micros(made, headers, requests, allowed) {
  put(made, headers.join('\n'));
  const wanted = [allowed ? requests : 0, requests];
  const run = (isPublic) => {
    const began = performance.now();
    const through = made.run(isPublic, requests);
    if (through !== wanted[isPublic]) throw new Error(`${through} of ${requests} were let through`);
    return ((performance.now() - began) * 1000) / requests;
  };
  for (const end = performance.now() + 500; performance.now() < end;) run(0), run(1);
  const rounds = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) for (const isPublic of [0, 1]) rounds[isPublic].push(run(isPublic));
  return rounds.map((times) => times.sort((a, b) => a - b)[ROUNDS >> 1]);
}

const base64url = (text) => Buffer.from(text).toString('base64url');
function token(number) {
  const claims = { iss: 'https://corp/', aud: 't', sub: `user-${number}`, jti: `token-${number}`, iat: NOW - 1000, exp: NOW + 1000 };
  const signed = `${base64url('{"alg":"HS256"}')}.${base64url(JSON.stringify(claims))}`;
  return `authorization Bearer ${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}
const key = (number) => `key_${String(number).padStart(7, '0')}${'x'.repeat(36)}`;
const many = (count, make) => Array.from({ length: count }, (_, number) => make(number));

const head = 'apiVersion: bartizan/v1\nname: inside\nauthentication:\n';
const jwt = '  jwt: [{name: corp, issuer: "https://corp/", audiences: [t], algorithms: [HS256], keys: {secret: {env: S}}}]\n';
const routes = (access) => `routes:\n  - {path: /guarded, access: ${access}}\n  - {path: /public, access: public}\n`;

console.log('\nCPU time inside the filter, judging the head of a request, microseconds (V8 of Node, median)');
console.log(`${''.padEnd(52)}${'all'.padStart(8)}${'beside public'.padStart(16)}`);
function table(made, name, headers, { allowed = true } = {}) {
  const requests = Math.max(headers.length, 5_000);
  const [guarded, open] = micros(made, headers, requests, allowed);
  console.log(`${name.padEnd(52)}${guarded.toFixed(2).padStart(8)}${(guarded - open).toFixed(2).padStart(16)}`);
}

const tokens = loaded('tokens', { 'bundle.yaml': head + jwt + routes('authenticated') });
table(tokens, 'a known token again', many(64, token));
table(tokens, 'a first token (HS256)', many(20_000, token));

const gone = many(ENTRIES, (number) => `  - token-${createHash('md5').update(String(number)).digest('hex')}`).join('\n');
const revoked = loaded('revoked', {
  'bundle.yaml': `${head}${jwt}  revoked: revoked.yaml\n${routes('authenticated')}`,
  'revoked.yaml': `tokens:\n${gone}\n`,
});
table(revoked, `a known token again, ${ENTRIES} revoked`, many(64, token));

const entries = many(ENTRIES, (number) => {
  const hash = createHash('sha256').update(key(number)).digest('hex');
  return `  - {hash: "sha256:${hash}", client: device-${number}, kind: device, roles: [sensor]}`;
});
const keys = loaded('keys', {
  'bundle.yaml': `${head}  api_keys: [{name: devices, keys: keys.yaml}]\nroles: {sensor: {permissions: ["a:b"]}}\n${routes('{permission: "a:b"}')}`,
  'keys.yaml': `keys:\n${entries.join('\n')}\n`,
});
const spread = (count) => many(count, (number) => `x-api-key ${key(Math.floor((number * ENTRIES) / count))}`);
table(keys, `an API key among ${ENTRIES}, 64 in turn`, spread(64));
table(keys, `an API key among ${ENTRIES}, 10000 in turn`, spread(10_000));
table(keys, `an unknown API key among ${ENTRIES}`, many(64, (number) => `x-api-key ${key(number + 5_000_000)}`), { allowed: false });
