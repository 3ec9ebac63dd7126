// node look/server.mjs PORT [live|big]: the page with a made-up server behind it, as `coagent ui` would be.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { bigData } from "./big.mjs";
import { canary, VALUES } from "./canary.mjs";

const port = Number(process.argv[2]);
const slow = process.argv[3] === "live";
const big = process.argv[3] === "big" ? bigData() : null;
const TOKEN = "t0k";
const story = big ? big.stories[0] : canary("mtpo", 0);
const values = big ? big.values[0] : VALUES;
const { steps, ...header } = story;
const born = Date.now();
const shown = () => (slow ? steps.slice(0, 4 + Math.floor((Date.now() - born) / 700)) : steps);
const page = () => readFileSync(new URL("../../src/coagent/ui/page.html", import.meta.url), "utf8").replace("__NONCE__", "n0nce");
let done = 0;
createServer((ask, answer) => {
  const url = new URL(ask.url, "http://x");
  const json = (body, status = 200) => { answer.writeHead(status, { "Content-Type": "application/json" }); answer.end(JSON.stringify(body)); };
  if (url.pathname === "/") {
    answer.writeHead(200, { "Content-Type": "text/html", "Content-Security-Policy": "default-src 'none'; script-src 'nonce-n0nce'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'" });
    return answer.end(page());
  }
  if (ask.headers.authorization !== `Bearer ${TOKEN}`) return json({ error: { cause: "no", cure: "no" } }, 401);
  const after = Number(url.searchParams.get("after") ?? 0);
  const path = url.pathname.replace("/api/", "");
  if (path === "stories") return json({ stories: [header], actions: true });
  if (path === "0/steps") return json({ steps: shown().filter((s) => s.n > after).slice(0, 5000) });
  if (path === "0/values") return json(Object.fromEntries(url.searchParams.get("v").split(",").map((v) => [v, values[v]])));
  if (path === "0/live") {
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    let last = after;
    answer.write("event: ping\ndata: \n\n");
    const timer = setInterval(() => {
      const fresh = shown().filter((s) => s.n > last);
      if (fresh.length) { last = fresh.at(-1).n; answer.write(`event: steps\nid: ${last}\ndata: ${JSON.stringify({ steps: fresh })}\n\n`); }
    }, 200);
    ask.on("close", () => clearInterval(timer));
    // Break off once, so that the page has to come again.
    if (slow) setTimeout(() => answer.destroy(), 3000);
    return;
  }
  let text = "";
  ask.on("data", (d) => (text += d));
  ask.on("end", () => {
    const body = JSON.parse(text);
    if (path === "0/preview") return json({ title: `Undo ${body.call ?? body.agent ?? body.key}`, changes: [{ key: "k8s:default/deployments/geo", diff: '-        "image": "registry/geo:1.5"\n+        "image": "registry/geo:1.4-bad"' }], lines: ["A.3 set_image is taken back.", "B is told: it has read k8s:default/deployments/geo."], possible: true, why_not: null, ticket: "x" });
    if (path === "0/act") { done += 1; return done === 1 ? json({ error: { cause: "changed", cure: "again" } }, 409) : json({ done: true, lines: ["A.3 was undone.", "B was told."], back: { act: "restore", key: "k8s:default/deployments/geo", v: 3 } }); }
    return json({ error: { cause: "no such thing", cure: "none" } }, 404);
  });
}).listen(port, "127.0.0.1");
setTimeout(() => process.exit(0), 120_000);
