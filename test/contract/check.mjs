// Second opinions on the contract: AsyncAPI's own parser reads asyncapi.yaml,
// and ajv (strict, draft 2020-12) reads every schema and every message.
//
//   node check.mjs DIR      DIR holds asyncapi.yaml, schemas/ and golden/
//   node check.mjs DIR -    and stdin names files of messages that were sent, one
//                           {"topic": .., "payload": base64} a line; each is
//                           answered by a line {"problems": [..], "count": {..}}
//
// Every message is looked up as a stranger would: its topic names a channel of
// the document, the channel its messages, and the message its schema. Every
// golden message is then broken at each of its members, one at a time, and its
// schema has to notice. What is wrong goes to stderr, a line each, and the exit
// code is 1; stdout tells how many messages there were of each name. Of a file
// both are in its answer, with what is wrong with the documents.

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Parser, fromFile } from '@asyncapi/parser';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const [dir, asked] = process.argv.slice(2);
let problems = [];
let count = {};
const wrong = (where, what) => problems.push(`${where}: ${what}`);
const json = (...path) => JSON.parse(readFileSync(join(dir, ...path), 'utf8'));
const names = (folder) => readdirSync(join(dir, folder)).filter((f) => f.endsWith('.json')).map((f) => f.slice(0, -5));

// Members are only added within a version, so that a schema must not demand
// what strictRequired and strictTypes would: the types of what it does not name.
const newAjv = () => addFormats(new Ajv({ allErrors: true, strict: true, strictRequired: false, strictTypes: false }));
const faults = (validate) => (validate.errors ?? []).slice(0, 3).map((e) => `${e.instancePath || '/'} ${e.message}`).join('; ');

// The schemas by themselves, with their own references.
const ajv = newAjv();
const schemas = names('schemas');
for (const name of schemas) {
  try {
    ajv.addSchema(json('schemas', `${name}.json`));
  } catch (e) {
    wrong(`schemas/${name}.json`, e.message);
  }
}
function schema(name) {
  try {
    return ajv.getSchema(`https://boothd.example/schemas/${name}.json`);
  } catch (e) {
    wrong(`schemas/${name}.json`, e.message);
  }
}
schemas.forEach(schema);

// The document, as its parser gives it: with all references put in place.
const { document, diagnostics } = await fromFile(new Parser(), join(dir, 'asyncapi.yaml')).parse();
for (const d of diagnostics) {
  if (d.code !== 'asyncapi-latest-version') wrong(`asyncapi.yaml:${d.range.start.line + 1}`, `${d.path.join('.')}: ${d.message}`);
}
const channels = document ? [...document.channels()].map(channel) : [];

// plain is a schema without the names by which others refer to it: put in
// place, it stands there several times.
function plain(v) {
  if (Array.isArray(v)) return v.map(plain);
  if (v === null || typeof v !== 'object') return v;
  const inside = Object.entries(v).filter(([k, x]) => !((k === '$id' || k === '$schema' || k.startsWith('x-parser-')) && typeof x === 'string'));
  return Object.fromEntries(inside.map(([k, x]) => [k, plain(x)]));
}

function channel(c) {
  const levels = { booth: '[a-z0-9][a-z0-9-]{2,39}', digest: '[0-9a-f]{64}', metadata: '(?:root/[1-9][0-9]*|timestamp|snapshot|targets)' };
  const address = c.address().replace(/\{(\w+)\}/g, (_, name) => {
    const allowed = c.parameters().get(name)?.json('enum');
    return `(?<${name}>${allowed ? allowed.join('|') : (levels[name] ?? '[^/]+')})`;
  });
  const messages = new Map();
  for (const m of c.messages()) {
    const payload = m.json('payload')?.schema;
    try {
      messages.set(m.name(), payload ? newAjv().compile(plain(payload)) : null);
    } catch (e) {
      wrong(`asyncapi.yaml: message ${m.name()}`, e.message);
    }
  }
  return { topic: new RegExp(`^${address}$`), messages };
}

// check looks one message up by its topic.
function check(where, topic, bytes) {
  const c = channels.find((c) => c.topic.test(topic));
  if (!c) return wrong(where, `no channel has the address ${topic}`);
  if (bytes.length === 0) return; // takes back what was retained
  const levels = c.topic.exec(topic).groups ?? {};
  if (levels.digest) {
    if (createHash('sha256').update(bytes).digest('hex') !== levels.digest) wrong(where, `${topic} holds other bytes than it says`);
    count['list.part'] = (count['list.part'] ?? 0) + 1;
    return;
  }
  const v = JSON.parse(bytes.toString('utf8'));
  const name = levels.class ? v.type : [...c.messages.keys()][0];
  const validate = c.messages.get(name);
  if (!validate) return wrong(where, `${topic} may not carry ${name}`);
  if (!validate(v)) return wrong(where, `${name}: ${faults(validate)}`);
  count[name] = (count[name] ?? 0) + 1;
}

// spoiled gives v with one member broken at a time: taken out if that is
// against the schema, and changed into what no member of the contract is.
function* spoiled(v, path = '') {
  for (const k of Object.keys(v)) {
    const at = `${path}/${k}`;
    const copy = Array.isArray(v) ? [...v] : { ...v };
    copy[k] = [[['broken']]];
    yield [at, copy];
    if (v[k] !== null && typeof v[k] === 'object') {
      for (const [deeper, inner] of spoiled(v[k], at)) {
        const outer = Array.isArray(v) ? [...v] : { ...v };
        outer[k] = inner;
        yield [deeper, outer];
      }
    }
  }
}

// widened has one member more than is known: readers ignore it.
const widened = (v) =>
  v === null || typeof v !== 'object' || Array.isArray(v) ? v : { ...Object.fromEntries(Object.entries(v).map(([k, x]) => [k, widened(x)])), zznew: 1 };

// What headquarters signs to be obeyed is closed: a member that is not
// understood might limit what was meant.
const closed = new Set(['command', 'list.metadata']);

for (const name of names('golden')) {
  const golden = json('golden', `${name}.json`);
  const event = name.endsWith('.v1');
  const validate = schema(event ? 'envelope' : name);
  const inner = event ? schema(name) : null;
  if (!validate || (event && !inner)) {
    wrong(`golden/${name}.json`, 'has no schema');
    continue;
  }
  const valid = (v) => validate(v) && (!inner || inner(v.data ?? null));
  if (!valid(golden)) wrong(`golden/${name}.json`, faults(validate) || faults(inner));
  if (valid(widened(golden)) === closed.has(name)) wrong(`schemas/${name}.json`, closed.has(name) ? 'lets a member more through' : `refuses a member more: ${faults(validate) || faults(inner)}`);
  for (const [at, broken] of spoiled(golden)) {
    if (valid(broken)) wrong(`schemas/${name}.json`, `does not notice that ${at} is broken`);
  }
  count[`golden ${name}`] = 1;
}

function judge(file) {
  readFileSync(file, 'utf8').split('\n').filter(Boolean).forEach((line, i) => {
    const { topic, payload } = JSON.parse(line);
    try {
      check(`${file}:${i + 1}`, topic, Buffer.from(payload, 'base64'));
    } catch (e) {
      wrong(`${file}:${i + 1}`, `${topic}: ${e.message}`);
    }
  });
}

// shown is what is told of the problems.
const shown = () => (problems.length > 100 ? [...problems.slice(0, 100), `and ${problems.length - 100} more`] : problems);

if (asked === '-') {
  const before = problems;
  for await (const file of createInterface({ input: process.stdin })) {
    [problems, count] = [[...before], {}];
    judge(file);
    console.log(JSON.stringify({ problems: shown(), count }));
  }
} else {
  console.log(JSON.stringify(count));
  if (problems.length > 0) {
    console.error(shown().join('\n'));
    process.exitCode = 1;
  }
}
