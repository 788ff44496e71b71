/* Search works on pages opened from the disk, where browsers start no worker: the script of the search runs in a hidden
   frame instead, which takes and sends messages as a worker does. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.frame = frame.contentWindow
      this.frame.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.frame.importScripts = (...addresses) => Promise.all(addresses.map((each) => this.load(each)))
      this.loaded = this.load(String(address))
    }

    load(address) {
      return new Promise((resolve, reject) => {
        const script = this.frame.document.createElement("script")
        script.src = address
        script.onload = resolve
        script.onerror = reject
        this.frame.document.body.append(script)
      })
    }

    postMessage(data) {
      this.loaded.then(() => this.frame.dispatchEvent(new this.frame.MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.frameElement.remove()
    }
  }
}
