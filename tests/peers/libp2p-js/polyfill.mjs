// Node 20 lacks Promise.withResolvers, which libp2p 3 calls. Preload with `node --import`.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
