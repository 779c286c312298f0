/** What the general protobuf library makes of proto/: tests hold the codec of src/wire against it. */
export * from "./gen/running_process/broker/v1/admin_pb.ts";
export * from "./gen/running_process/broker/v1/control_pb.ts";
export * from "./gen/running_process/broker/v1/frame_pb.ts";
export * from "./gen/running_process/broker/v1/handoff_pb.ts";
export * from "./gen/running_process/broker/v1/lifecycle_event_pb.ts";
export * from "./gen/running_process/broker/v1/manifest_pb.ts";
export * from "./gen/running_process/broker/v1/service_definition_pb.ts";
export * from "./gen/running_process_broker/control/v1/control_pb.ts";
export * from "./gen/running_process_broker/succession/v1/succession_pb.ts";
