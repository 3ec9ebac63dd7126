import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

const ROOT = import.meta.dirname;
const SINGLE_FILES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"];

/** The digest of all that the page is built from; `tests/ui/test_page_build.py` reckons the same. */
function digestOfSources(): string {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .concat(SINGLE_FILES)
    .sort();
  const digest = createHash("sha256");
  for (const file of files) {
    digest.update(file + "\0");
    digest.update(readFileSync(join(ROOT, file)));
    digest.update("\0");
  }
  return digest.digest("hex");
}

/**
 * Put the script and the styles into the page, so that it is one file that opens from disk.
 *
 * `__NONCE__` is left for the server, which writes a fresh one into each answer and into its policy.
 */
function oneFile(): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset") throw new Error("no index.html was built");
      let script = "";
      let style = "";
      for (const [name, part] of Object.entries(bundle)) {
        if (part.type === "chunk") script += part.code;
        else if (name.endsWith(".css")) style += String(part.source);
        else continue;
        delete bundle[name];
      }
      const html = String(page.source)
        .replace(/\s*<script type="module"[^>]*><\/script>/, "")
        .replace(/\s*<link rel="(stylesheet|modulepreload)"[^>]*>/g, "")
        .replace("</head>", () => `  <meta name="coagent-page-sources" content="${digestOfSources()}" />\n    <style>${style.trim()}</style>\n  </head>`)
        // A function as the replacement: the script is full of `$`, which a plain text would give a meaning.
        .replace("</body>", () => `  <script nonce="__NONCE__" type="module">${script.trim().replaceAll("</script", "<\\/script")}</script>\n  </body>`);
      page.source = html;
    },
  };
}

export default defineConfig({
  root: ROOT,
  base: "./",
  plugins: [oneFile()],
  build: { target: "es2022", modulePreload: false, cssCodeSplit: false, assetsInlineLimit: 0, reportCompressedSize: false },
});
