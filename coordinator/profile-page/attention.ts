// Keeps the screen awake, and tells when nobody sees the page: browsers slow hidden pages down, so nothing is measured then.

type WakeLockState = 'held' | 'unavailable' | 'released'

type Attention = {
  /** Resolves at once while the page is seen, else when it is again. */
  whenVisible(): Promise<void>
  /** Changes whenever the page was hidden: what was timed across a change is worthless. */
  hiddenCount(): number
  release(): void
}

type Handlers = { readonly onVisibility: (visible: boolean) => void; readonly onWakeLock: (state: WakeLockState) => void }

function holdAttention({ onVisibility, onWakeLock }: Handlers): Attention {
  const ended = new AbortController()
  let hidden = 0
  let lock: { release(): Promise<void> } | null = null

  async function keepAwake(): Promise<void> {
    if (!('wakeLock' in navigator)) return onWakeLock('unavailable')
    try {
      lock = await navigator.wakeLock.request('screen')
      if (ended.signal.aborted) await lock.release()
      else onWakeLock('held')
    } catch {
      // Refused, for example to save the battery.
      onWakeLock('released')
    }
  }

  document.addEventListener(
    'visibilitychange',
    () => {
      if (document.hidden) hidden += 1
      // A lock ends when the page is hidden.
      else void keepAwake()
      onVisibility(!document.hidden)
    },
    { signal: ended.signal },
  )
  void keepAwake()

  return {
    async whenVisible() {
      while (document.hidden) {
        await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }))
      }
    },
    hiddenCount: () => hidden,
    release() {
      ended.abort()
      void lock?.release()
    },
  }
}

export { type Attention, holdAttention, type WakeLockState }
