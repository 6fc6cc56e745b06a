// What a table says of a device, from the user agents that browsers really send.

import { describe, expect, it } from 'vitest'
import { fromUserAgent } from '../../coordinator/profile-page/device.ts'

describe('a user agent tells device, system and browser', () => {
  it.each([
    [
      'Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.6723.58 Mobile Safari/537.36',
      { name: 'Pixel 7', os: 'Android 14', browser: 'Chrome 130.0.6723.58' },
    ],
    [
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36',
      { name: 'Android device', os: 'Android 10', browser: 'Chrome 130.0.0.0' },
    ],
    [
      'Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36',
      { name: 'SM-S911B', os: 'Android 13', browser: 'Samsung Internet 26.0' },
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1',
      { name: 'iPhone', os: 'iOS 18.1', browser: 'Safari 18.1' },
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
      { name: 'Mac', os: 'macOS 10.15.7', browser: 'Safari 18.0' },
    ],
    [
      'Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0',
      { name: 'Linux computer', os: 'Linux', browser: 'Firefox 132.0' },
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0',
      { name: 'Windows computer', os: 'Windows', browser: 'Edge 130.0.0.0' },
    ],
    ['something new', { name: 'unknown device', os: undefined, browser: 'unknown browser' }],
  ])('%s', (userAgent, expected) => {
    expect(fromUserAgent(userAgent)).toEqual(expected)
  })
})
