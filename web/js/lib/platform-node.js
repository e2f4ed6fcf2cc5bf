// What Node has: files of the disk and fetch. No worker is started: a server has its own ways to spread work.
import { readFile } from "node:fs/promises";
import { platform } from "./platform.js";

Object.assign(platform, {
  /** A file's reply; `file:` URLs, which fetch does not read, come from the disk. */
  async open(url, signal) {
    if (!url.startsWith("file:")) return fetch(url, { signal });
    try {
      return new Response(await readFile(new URL(url), { signal }));
    } catch (error) {
      if (error?.name === "AbortError") throw error;
      return new Response(error?.message ?? "", { status: 404, statusText: "cannot be read" });
    }
  },
  workerByDefault: false,
});
