/** How this library names itself in a Hello when the caller says nothing else. */
import { VERSION } from "../base/version.ts";

export const LIBRARY_NAME = "running-process-broker";
export const LIBRARY_VERSION = VERSION;
