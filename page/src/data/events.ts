/** Server-sent events out of pieces of text, however they were cut. */

export interface ServerEvent {
  name: string;
  data: string;
}

export class EventReader {
  private rest = "";

  push(text: string): ServerEvent[] {
    this.rest = (this.rest + text).replaceAll("\r\n", "\n");
    const events: ServerEvent[] = [];
    for (;;) {
      const end = this.rest.indexOf("\n\n");
      if (end < 0) return events;
      const event = parseEvent(this.rest.slice(0, end));
      this.rest = this.rest.slice(end + 2);
      if (event) events.push(event);
    }
  }
}

function parseEvent(block: string): ServerEvent | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  }
  return data.length || name !== "message" ? { name, data: data.join("\n") } : null;
}
