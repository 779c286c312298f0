// A bare net.Socket whose peer writes back what it gets: sends, and resolves when as many bytes have come.

export function exchangeOn(socket) {
  let missing = 0;
  let done;
  let fail;
  socket.on("data", (chunk) => {
    missing -= chunk.length;
    if (missing === 0) done();
  });
  socket.on("error", (error) => fail?.(error));
  return (bytes, times = 1) =>
    new Promise((resolve, reject) => {
      missing += bytes.length * times;
      done = resolve;
      fail = reject;
      for (let sent = 0; sent < times; sent++) socket.write(bytes);
    });
}
