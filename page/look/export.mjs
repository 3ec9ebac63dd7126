// node look/export.mjs canary|big OUT: an export of a made-up story, in the built page.
import { readFileSync, writeFileSync } from "node:fs";
import { bigData } from "./big.mjs";
import { canaryData } from "./canary.mjs";

const [, , which, out] = process.argv;
const data = which === "canary" ? canaryData() : bigData(...process.argv.slice(4).map(Number));
const page = readFileSync(new URL("../../src/coagent/ui/page.html", import.meta.url), "utf8");
const text = JSON.stringify(data).replaceAll("<", "\\u003c");
const empty = '<script type="application/json" id="coagent-story"></script>';
if (page.split(empty).length !== 2) throw new Error("the page has no single place for the story");
writeFileSync(out, page.replace(empty, () => empty.replace("></", `>${text}</`)));
console.log(out, text.length);
