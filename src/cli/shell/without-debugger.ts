/** Imported first by the programs, so that nothing of theirs runs, or takes time to load, before it. */
import { ignoreDebugSignal } from "../../platform/platform.ts";

ignoreDebugSignal();
