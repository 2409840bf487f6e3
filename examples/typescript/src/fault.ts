// What the services say when a call fails, read from the status that gRPC brings.
import { type ServiceError, status } from "@grpc/grpc-js";
import type { Any } from "./generated/google/protobuf/any.js";
import { BadRequest, ErrorInfo, RetryInfo, Status } from "./generated/google/rpc/status.js";

export class SeamlineFault extends Error {
  override name = "SeamlineFault";

  constructor(
    /** gRPC's status. */
    readonly code: status,
    message: string,
    /** What it is, for programs: "UNKNOWN_EDIT", "NO_FACE", …; empty where no service of Seamline answered. */
    readonly reason: string,
    /** The field of the request at fault, for instance "video.uri"; empty if none is. */
    readonly field: string,
    /** Key, frame, endpoint and the like. */
    readonly metadata: Readonly<Record<string, string>>,
    /** Milliseconds after which the service invites to try again; undefined where it does not. */
    readonly retryAfter: number | undefined,
  ) {
    super(message);
  }

  /** Whether the input is at fault, so that repeating the call will not help. */
  get rejected(): boolean {
    return [
      status.INVALID_ARGUMENT,
      status.NOT_FOUND,
      status.FAILED_PRECONDITION,
      status.DATA_LOSS,
      status.PERMISSION_DENIED,
      status.UNAUTHENTICATED,
    ].includes(this.code);
  }

  /** Whether a replica, a connection or the store was lost on the way: the same call goes on from what is finished. */
  get broken(): boolean {
    return this.code === status.UNAVAILABLE || (this.code === status.CANCELLED && !this.reason);
  }

  static from(error: unknown): SeamlineFault {
    if (!isServiceError(error)) {
      throw error; // a bug of ours
    }
    const packed = error.metadata?.get("grpc-status-details-bin")[0];
    const details = packed instanceof Buffer ? Status.decode(packed).details : [];
    const info = unpacked(details, ErrorInfo, "google.rpc.ErrorInfo");
    const field = unpacked(details, BadRequest, "google.rpc.BadRequest")?.fieldViolations[0]?.field ?? "";
    const delay = unpacked(details, RetryInfo, "google.rpc.RetryInfo")?.retryDelay;
    const retryAfter = delay && delay.seconds * 1000 + delay.nanos / 1e6;
    return new SeamlineFault(error.code, error.details, info?.reason ?? "", field, info?.metadata ?? {}, retryAfter);
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

function unpacked<T>(details: Any[], type: { decode(bytes: Uint8Array): T }, name: string): T | undefined {
  const found = details.find((detail) => detail.typeUrl.endsWith(`/${name}`));
  return found && type.decode(found.value);
}
