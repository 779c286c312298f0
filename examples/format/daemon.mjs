#!/usr/bin/env node
// A formatting daemon: prettier stays loaded, each request is one file. Payload: path, newline, text.
import { format, resolveConfig } from "prettier";
import { serve } from "running-process-broker/backend";

export const FORMAT = 0xf101;

async function formatFile({ payload }) {
  const request = Buffer.from(payload).toString();
  const path = request.slice(0, request.indexOf("\n"));
  const text = request.slice(path.length + 1);
  return Buffer.from(await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

await serve({ protocol: FORMAT, handle: formatFile });
