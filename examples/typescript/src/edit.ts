// One edit as a job: progress, repetition of what breaks, cancellation.
import { setTimeout as sleep } from "node:timers/promises";
import { Metadata } from "@grpc/grpc-js";
import { SeamlineFault } from "./fault.js";
import type {
  EditorServiceClient,
  EditVideoRequest,
  EditVideoResponse,
  EditVideoResult,
} from "./generated/seamline/v1/editor.js";
import type { Progress } from "./generated/seamline/v1/media.js";

export interface Options {
  /** Goes into every log line of the services that work on the job. */
  requestId: string;
  onProgress: (progress: Progress) => void;
  /** Aborting it stops the work of all services within one optimiser step. */
  signal: AbortSignal;
  /** How often a call that broke is repeated. */
  repeats?: number;
  /** Milliseconds to wait, in all, for room while the service is full. */
  patience?: number;
}

/**
 * Edits a video. The call is the job: nothing else need be kept of it, and the same request made again, by
 * whichever process, returns what is finished and goes on from there.
 *
 * Throws SeamlineFault, or the signal's reason.
 */
export async function editVideo(
  client: EditorServiceClient,
  request: EditVideoRequest,
  options: Options,
): Promise<EditVideoResult> {
  let repeats = options.repeats ?? 4;
  let patience = options.patience ?? 600_000;
  for (let wait = 500; ; ) {
    try {
      return await attempt(client, request, options);
    } catch (error) {
      options.signal.throwIfAborted();
      const fault = SeamlineFault.from(error);
      if (fault.broken && repeats > 0) {
        repeats -= 1;
        await sleep(spread(wait), undefined, { signal: options.signal });
        wait *= 2;
      } else if (fault.retryAfter !== undefined && fault.retryAfter <= patience) {
        const pause = Math.max(fault.retryAfter, 100); // so that patience does end
        patience -= pause;
        await sleep(spread(pause), undefined, { signal: options.signal });
      } else {
        throw fault;
      }
    }
  }
}

async function attempt(
  client: EditorServiceClient,
  request: EditVideoRequest,
  { requestId, onProgress, signal }: Options,
): Promise<EditVideoResult> {
  signal.throwIfAborted();
  const metadata = new Metadata();
  metadata.set("x-request-id", requestId);
  const call = client.editVideo(request, metadata);
  const cancel = () => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    let result: EditVideoResult | undefined;
    for await (const { event } of call as AsyncIterable<EditVideoResponse>) {
      if (event?.$case === "progress") {
        onProgress(event.value);
      } else {
        result = event?.value;
      }
    }
    if (!result) {
      throw new Error("the editor ended its stream without a result");
    }
    return result;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** Callers that were turned away together do not come back together. */
function spread(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random());
}
