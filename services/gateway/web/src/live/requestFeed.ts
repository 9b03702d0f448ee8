/** A request that is followed while somebody looks: the stream goes on where this page is, whatever is lost between. */
import { shallowReactive } from 'vue';

import type { RequestDocument } from '@/api/types';

import { followingWhileSeen } from './following';
import type { Frame, RequestFrame } from './frames';
import { link } from './link';
import { type RequestPicture, unknownRequest, withDocument, withFrame } from './requestState';

const pictures = shallowReactive(new Map<string, RequestPicture>());
const feeds = new Map<string, Feed>();

export function pictureOf(requestId: string): RequestPicture | undefined {
  return pictures.get(requestId);
}

/** Takes in what the HTTP API answered, for whoever follows it. */
export function learn(document: RequestDocument): void {
  const feed = feeds.get(document.request_id);
  if (feed) feed.take((picture) => withDocument(picture, document));
}

/** A stream may bring hundreds of frames a second; what is seen changes once a frame of the screen. */
class Feed {
  private picture: RequestPicture;
  private painting = false;
  private readonly stopWatching: () => void;

  constructor(private readonly requestId: string) {
    this.picture = unknownRequest(requestId);
    pictures.set(requestId, this.picture);
    this.stopWatching = link.watch({
      key: `request:${requestId}`,
      subscribe: () => ({ type: 'subscribe', request_id: requestId, after: this.picture.position }),
      unsubscribe: { type: 'unsubscribe', request_id: requestId },
      hear: (frame: Frame) => this.hear(frame),
    });
  }

  private hear(frame: Frame): void {
    this.take((picture) => withFrame(picture, frame as unknown as RequestFrame));
    // The gateway has forgotten us: after a loss nothing is asked for again. A state alone is no end of the stream.
    if (frame.type === 'finished') this.stopWatching();
  }

  take(next: (picture: RequestPicture) => RequestPicture): void {
    const before = this.picture.state;
    this.picture = next(this.picture);
    if (this.picture.state !== before) return this.paint();
    if (this.painting) return;
    this.painting = true;
    whenPainted(() => {
      this.painting = false;
      this.paint();
    });
  }

  stop(): void {
    this.stopWatching();
    pictures.delete(this.requestId);
  }

  private paint(): void {
    if (feeds.get(this.requestId) === this) pictures.set(this.requestId, this.picture);
  }
}

function whenPainted(work: () => void): void {
  // A page that is not looked at gets no animation frames.
  if (document.visibilityState === 'visible') requestAnimationFrame(work);
  else setTimeout(work, 200);
}

/** Follows requests while the component that asks is there. */
export const useRequestFeeds = followingWhileSeen((requestId) => {
  const feed = new Feed(requestId);
  feeds.set(requestId, feed);
  return () => {
    feeds.delete(requestId);
    feed.stop();
  };
});
