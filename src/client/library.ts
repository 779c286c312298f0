/** How this library names itself in a Hello when the caller says nothing else. */
export const LIBRARY_NAME = "running-process-broker";
/** The package's version; a test holds it to package.json. */
export const LIBRARY_VERSION = "0.1.0";
