#!/usr/bin/env node
// The measured backend: the ready-made server of the SDK, answering with what it was sent.
import { serve } from "running-process-broker/backend";

await serve({ protocol: 0xf101, handle: ({ payload }) => payload });
