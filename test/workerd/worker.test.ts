import { exports } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'

describe('the Worker', () => {
  it('answers the health check without a token', async () => {
    const response = await exports.default.fetch('http://gatehouse/health')
    expect(response.status).toBe(200)
  })
})
