// Prints what AsyncAPI's parser finds in a document: problems, and how many channels and operations there are.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

// The packages are elsewhere: NODE_PATH names the directory.
const { Parser } = createRequire(process.env.NODE_PATH + "/")("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
// From 2 on they are remarks, such as that there is a later version of AsyncAPI.
const problems = diagnostics.filter(({ severity }) => severity < 2).map(({ path, message }) => `${path.join("/")}: ${message}`);
console.log(
  JSON.stringify({
    problems,
    channels: document?.channels().all().length ?? 0,
    operations: document?.operations().all().length ?? 0,
  }),
);
