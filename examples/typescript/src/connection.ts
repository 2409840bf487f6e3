// Opens the way to the editor: address, TLS and token from the environment.
import { readFileSync } from "node:fs";
import { type ChannelCredentials, credentials, Metadata } from "@grpc/grpc-js";
import { EditorServiceClient } from "./generated/seamline/v1/editor.js";

export interface Settings {
  /** "host:port", or "dns:///host:port" for every editor behind a headless service. */
  editor: string;
  /** PEM file of the authorities of the editor's certificate, or "system" for the public ones; none for plaintext. */
  ca?: string | undefined;
  /** PEM files to show where the editor asks for a certificate. */
  certificate?: string | undefined;
  key?: string | undefined;
  /** Who calls; sent with every call, over TLS only. */
  token?: string | undefined;
}

export function settingsFrom(environment: NodeJS.ProcessEnv): Settings {
  const editor = environment["SEAMLINE_EDITOR"];
  if (!editor) {
    throw new Error("SEAMLINE_EDITOR is not set; give the editor's host:port");
  }
  return {
    editor,
    ca: environment["SEAMLINE_TLS_CA"],
    certificate: environment["SEAMLINE_TLS_CERTIFICATE"],
    key: environment["SEAMLINE_TLS_KEY"],
    token: environment["SEAMLINE_TOKEN"],
  };
}

/** A client for the life of the process: it connects when first used, and again when a connection is lost. */
export function connect(settings: Settings): EditorServiceClient {
  return new EditorServiceClient(settings.editor, channelCredentials(settings), {
    // Every address of a dns:/// name takes its share of the calls.
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    // An edit lasts minutes: a peer that is gone without a word is noticed within 40 s.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.max_reconnect_backoff_ms": 5_000,
  });
}

function channelCredentials({ ca, certificate, key, token }: Settings): ChannelCredentials {
  if (!ca) {
    if (token) {
      throw new Error("SEAMLINE_TOKEN is set and SEAMLINE_TLS_CA is not; a token goes over TLS only");
    }
    return credentials.createInsecure();
  }
  const identity = certificate && key ? [readFileSync(key), readFileSync(certificate)] : [null, null];
  const tls = credentials.createSsl(ca === "system" ? null : readFileSync(ca), ...identity);
  return token ? credentials.combineChannelCredentials(tls, bearer(token)) : tls;
}

function bearer(token: string) {
  return credentials.createFromMetadataGenerator((_, callback) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    callback(null, metadata);
  });
}
