// What the browser tells of the device, of itself and of its clock.

import { CLOCK_LOOKS, FINEST_CLOCK_MS } from './limits.ts'

type Device = { readonly name: string; readonly os: string | undefined; readonly browser: string }

type HighEntropy = { model?: string; platform?: string; platformVersion?: string; fullVersionList?: { brand: string; version: string }[] }
type UserAgentData = { getHighEntropyValues(hints: string[]): Promise<HighEntropy> }

/** Names in user agents, the more special first: most browsers also claim to be Safari, and many to be Chrome. */
const browserPatterns: readonly (readonly [string, RegExp])[] = [
  ['Edge', /\bEdgA?\/([\d.]+)/],
  ['Samsung Internet', /\bSamsungBrowser\/([\d.]+)/],
  ['Opera', /\bOPR\/([\d.]+)/],
  ['Firefox', /\b(?:Firefox|FxiOS)\/([\d.]+)/],
  ['Chrome', /\b(?:Headless)?(?:Chrome|CriOS)\/([\d.]+)/],
  ['Safari', /\bVersion\/([\d.]+).*\bSafari\//],
]

/** From the user agent alone, which every browser has. */
function fromUserAgent(userAgent: string): Device {
  const android = /Android ([\d.]+)(?:; ([^;)]+))?/.exec(userAgent)
  const apple = /\((iPhone|iPad|Macintosh)[^)]*?(?:OS (?:X )?)([\d_]+)/.exec(userAgent)
  const found = browserPatterns.map(([name, pattern]) => [name, pattern.exec(userAgent)?.[1]] as const).find(([, version]) => version)
  const browser = found ? `${found[0]} ${found[1]}` : 'unknown browser'
  // "K" is what browsers say to keep the model to themselves.
  if (android)
    return { name: android[2] && android[2] !== 'K' ? android[2].trim() : 'Android device', os: `Android ${android[1]}`, browser }
  if (apple) {
    const isMac = apple[1] === 'Macintosh'
    return { name: isMac ? 'Mac' : (apple[1] as string), os: `${isMac ? 'macOS' : 'iOS'} ${apple[2]?.replaceAll('_', '.')}`, browser }
  }
  const platform = /\b(Windows|Linux|CrOS)\b/.exec(userAgent)?.[1]
  return { name: platform ? `${platform} computer` : 'unknown device', os: platform, browser }
}

async function describeDevice(): Promise<Device> {
  const plain = fromUserAgent(navigator.userAgent)
  const data = (navigator as Navigator & { userAgentData?: UserAgentData }).userAgentData
  if (!data) return plain
  try {
    const {
      model,
      platform,
      platformVersion,
      fullVersionList = [],
    } = await data.getHighEntropyValues(['model', 'platformVersion', 'fullVersionList'])
    const brand = fullVersionList.find(({ brand }) => !/not.?a.?brand|^chromium$/i.test(brand)) ?? fullVersionList.at(-1)
    return {
      name: model || plain.name,
      os: platform ? [platform, platformVersion].filter(Boolean).join(' ') : plain.os,
      browser: brand ? `${brand.brand} ${brand.version}` : plain.browser,
    }
  } catch {
    return plain
  }
}

/** The smallest step that the clock makes, milliseconds: 0.005 on an isolated page, 0.1 to 1 elsewhere. */
function clockStepMs(): number {
  let smallest = Number.POSITIVE_INFINITY
  for (let look = 0; look < CLOCK_LOOKS; look++) {
    const start = performance.now()
    let now = start
    while (now <= start) now = performance.now()
    smallest = Math.min(smallest, now - start)
  }
  return Math.max(FINEST_CLOCK_MS, smallest)
}

export { clockStepMs, describeDevice, type Device, fromUserAgent }
