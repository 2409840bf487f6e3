// node dist/main.js VIDEO --edit smile=2 [--edit age=-3] [--sha256 DIGEST] [--bundle NAME] [--deliver-to ADDRESS]
//
// VIDEO is an https address, for instance a presigned one, of an origin that the editor allows, or an object of its
// store with its digest. Exit status: 0 done, 1 failed, try again later; 2 rejected; 130 interrupted.
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { connect, settingsFrom } from "./connection.js";
import { editVideo } from "./edit.js";
import { SeamlineFault } from "./fault.js";
import { EditVideoRequest } from "./generated/seamline/v1/editor.js";
import type { Progress } from "./generated/seamline/v1/media.js";

function requestFrom(args: string[]): EditVideoRequest {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      edit: { type: "string", multiple: true, default: [] },
      sha256: { type: "string", default: "" },
      bundle: { type: "string", default: "" },
      "deliver-to": { type: "string", default: "" },
    },
  });
  const [uri] = positionals;
  if (uri === undefined || positionals.length > 1) {
    throw new Error("give the address of one video");
  }
  return EditVideoRequest.fromPartial({
    video: { uri, sha256: values.sha256 },
    bundle: values.bundle,
    edits: values.edit.map((edit) => {
      const [name, strength] = edit.split("=");
      return { name: name ?? "", strength: Number(strength) };
    }),
    deliverTo: values["deliver-to"],
  });
}

function show({ stage, step, done, total, figures }: Progress): void {
  const known = Object.entries(figures).map(([name, value]) => ` ${name} ${value.toFixed(3)}`);
  console.error(`${stage} ${step} ${done}/${total}${known.join("")}`);
}

async function main(): Promise<number> {
  const request = requestFrom(process.argv.slice(2));
  const client = connect(settingsFrom(process.env));
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  process.once("SIGTERM", () => interrupted.abort());
  const requestId = randomUUID();
  try {
    const result = await editVideo(client, request, { requestId, onProgress: show, signal: interrupted.signal });
    console.log(JSON.stringify({ edited: result.edited, tlId: result.scores?.tlId, seconds: result.stageSeconds }));
    return 0;
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error("interrupted; the services have stopped, and what is finished is kept");
      return 130;
    }
    if (error instanceof SeamlineFault) {
      const { reason, field, message } = error;
      console.error(JSON.stringify({ reason, field, message, requestId }));
      return error.rejected ? 2 : 1;
    }
    throw error;
  } finally {
    client.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  // What the command line or the environment lacks.
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
