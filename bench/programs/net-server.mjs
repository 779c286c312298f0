// A bare net.Server. `once`: reads as many bytes as the request has, answers with as many as the reply has, and ends
// the connection. `echo`: writes back whatever comes.
//
// Task: { path, mode, readBytes, writeBytes }.
import { createServer } from "node:net";

const { path, mode, readBytes, writeBytes } = JSON.parse(process.argv[2]);
const reply = Buffer.alloc(writeBytes ?? 0, "r");

const serve = {
  once(socket) {
    let got = 0;
    socket.on("data", (chunk) => {
      got += chunk.length;
      if (got >= readBytes) socket.end(reply);
    });
  },
  echo(socket) {
    socket.on("data", (chunk) => socket.write(chunk));
  },
};
createServer((socket) => {
  socket.on("error", () => {});
  serve[mode](socket);
}).listen(path, 4096, () => process.stdout.write("ready\n"));
