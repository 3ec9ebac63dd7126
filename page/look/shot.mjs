// node look/shot.mjs FILE-OR-URL OUT [width height] [hash] [light|dark] [script]: a picture of the page, with what it printed.
import { chromium } from "playwright-core";
const [, , file, out, width = "1400", height = "900", hash = "", scheme = "light", script = ""] = process.argv;
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: +width, height: +height }, colorScheme: scheme });
page.on("console", (m) => console.log("console:", m.text()));
page.on("pageerror", (e) => console.log("error:", e.message, e.stack?.split("\n").slice(0, 4).join("|")));
await page.goto((file.startsWith("http") ? file : `file://${file}`) + hash);
await page.waitForTimeout(900);
if (script) { await (new Function("page", `return (async () => { ${script} })()`))(page); await page.waitForTimeout(500); }
await page.screenshot({ path: out });
await browser.close();
