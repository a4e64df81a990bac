/** The part of noVNC's API that the viewer uses; the package ships no types. */
declare module "@novnc/novnc" {
  interface RfbEvents {
    connect: CustomEvent;
    /** `clean`: the connection was ended on purpose by one side. */
    disconnect: CustomEvent<{ clean: boolean }>;
  }

  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: WebSocket, options?: { shared?: boolean });
    scaleViewport: boolean;
    clipViewport: boolean;
    dragViewport: boolean;
    resizeSession: boolean;
    background: string;
    focus(options?: FocusOptions): void;
    disconnect(): void;
    /** Press and release, when `down` is not given. `code` as in KeyboardEvent.code, or null where there is none. */
    sendKey(keysym: number, code: string | null, down?: boolean): void;
    addEventListener<E extends keyof RfbEvents>(type: E, listener: (event: RfbEvents[E]) => void): void;
  }
}
