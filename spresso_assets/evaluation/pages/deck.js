"use strict";
// Sounds that run side by side, of which one is heard: to change between them costs no gap and no jump in time.
class Deck {
  constructor(addresses, onchange) {
    this.heard = -1;
    this.onchange = onchange || (() => {});
    this.tracks = addresses.map((address) => {
      const track = new Audio();
      track.preload = "auto";
      track.muted = true;
      track.src = address;
      track.addEventListener("ended", () => { if (this.tracks[this.heard] === track) this.again(); });
      return track;
    });
  }
  // Starts, or goes on at the same moment with another sound.
  play(which) {
    const before = this.heard;
    this.heard = which;
    if (before < 0) {
      this.again();
    } else {
      const now = this.tracks[before].currentTime;
      if (Math.abs(this.tracks[which].currentTime - now) > 0.02) this.tracks[which].currentTime = now;
      this.tracks.forEach((track, n) => { track.muted = n !== which; });
    }
    this.onchange(which);
  }
  again() {
    this.tracks.forEach((track, n) => {
      track.currentTime = 0;
      track.muted = n !== this.heard;
      track.play().catch(() => {}); // stopped again before it began
    });
  }
  stop() {
    this.heard = -1;
    this.tracks.forEach((track) => { track.pause(); track.muted = true; });
    this.onchange(-1);
  }
}
