import "running-process-broker/client";
