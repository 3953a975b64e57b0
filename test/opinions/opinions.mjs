// Answers a question about each line of standard input, a JSON value, with a
// line of JSON: what another program reads where the booth's devices read.
//
//   node opinions.mjs epc             hex of an EPC       -> its tag URI, or null
//   node opinions.mjs mrz             lines of a document -> its check digits and fields, or null
//   node opinions.mjs modbus PORT     a request of a master's -> what the board answered
//   node opinions.mjs board PORT      is a board itself: says each coil that is written; a line sets inputs
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [what, port] = process.argv.slice(2);
const say = (v) => process.stdout.write(JSON.stringify(v) + "\n");

async function answers(answer) {
  for await (const line of createInterface({ input: process.stdin })) say(await answer(JSON.parse(line)));
}

if (what === "epc") {
  const tds = require("epc-tds");
  await answers((hex) => {
    try {
      return tds.valueOf(hex).toTagURI();
    } catch {
      return null;
    }
  });
} else if (what === "mrz") {
  const { parse } = await import("mrz");
  await answers((lines) => {
    try {
      const { format, fields, details } = parse(lines);
      const wrong = details.filter((d) => d.field.endsWith("CheckDigit") && !d.valid).map((d) => d.field);
      return { format, number: fields.documentNumber, expiry: fields.expirationDate, wrong };
    } catch {
      return null;
    }
  });
} else if (what === "modbus") {
  const ModbusRTU = require("modbus-serial");
  const client = new ModbusRTU();
  await client.connectRTUBuffered(port, { baudRate: 9600 });
  client.setTimeout(2000);
  await answers(async ({ unit, call, args }) => {
    client.setID(unit);
    try {
      const { data } = await client[call](...args);
      return { data };
    } catch (e) {
      return { exception: e.modbusCode ?? String(e) };
    }
  });
  client.close(() => {});
} else if (what === "board") {
  const { ServerSerial } = require("modbus-serial");
  const inputs = new Array(8).fill(false), coils = new Array(8).fill(false);
  const server = new ServerSerial(
    {
      getCoil: (at) => coils[at],
      getDiscreteInput: (at) => inputs[at],
      setCoil: (at, on) => {
        coils[at] = on;
        say({ coil: at, on });
      },
    },
    { path: port, baudRate: 9600, unitID: 1 },
  );
  server.on("initialized", () => say({ ready: true }));
  await answers(([at, on]) => {
    inputs[at] = on;
    return { input: at, on };
  });
  server.close(() => process.exit(0));
} else {
  throw new Error(`unknown question ${what}`);
}
