// Speaks to screen readers: at most one message in five seconds, and failures at once.

const BETWEEN_MS = 5000;

/** Two live regions. Of messages that come too fast only the last is spoken. */
export class Voice {
  /** @param {HTMLElement} status @param {HTMLElement} alert */
  constructor(status, alert) {
    [this.status, this.alert] = [status, alert];
    this.spokenAt = -BETWEEN_MS;
    this.timer = null;
  }

  /** Say something when there is time. @param {string} text */
  say(text) {
    clearTimeout(this.timer);
    const wait = Math.max(0, this.spokenAt + BETWEEN_MS - performance.now());
    this.timer = setTimeout(() => {
      this.spokenAt = performance.now();
      this.status.textContent = text;
    }, wait);
  }

  /** Say at once that something failed. @param {string} text */
  cry(text) {
    this.alert.textContent = "";
    requestAnimationFrame(() => (this.alert.textContent = text));
  }
}
