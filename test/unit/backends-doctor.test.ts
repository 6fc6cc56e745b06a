import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

import { backendNames } from '../../engine/backends/backends.ts'

const main = fileURLToPath(new URL('../../worker-agent/cli/main.ts', import.meta.url))
const doctor = (...flags: string[]) => promisify(execFile)(process.execPath, [main, 'doctor', ...flags])

test('doctor says of every backend whether it is usable, and if not why and how to get it', async () => {
  const { stdout } = await doctor('--json', '--seconds', '0.2')
  const report = JSON.parse(stdout) as {
    chosen: string
    backends: { name: string; usable: boolean; reason?: string; advice?: string }[]
    speed: { imagesPerSecond: number }
  }
  expect(report.backends.map(({ name }) => name)).toEqual([...backendNames])
  expect(report.chosen).toBe(report.backends.find(({ usable }) => usable)?.name)
  for (const { usable, reason, advice } of report.backends) {
    if (!usable) expect([reason, advice]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)])
  }
  const tensorflow = report.backends.find(({ name }) => name === 'tensorflow')
  if (!tensorflow?.usable) expect(tensorflow?.advice).toMatch(/CUDA 11\.2.*cuDNN 8\.1/)
  expect(report.speed.imagesPerSecond).toBeGreaterThan(0)
})

test('a machine without a Vulkan loader is told so in one line, without warnings of the graphics library', async () => {
  const { stderr } = await doctor('--json', '--seconds', '0')
  expect(stderr).toBe('')
})

test('doctor refuses a time that is none', async () => {
  await expect(doctor('--seconds', 'ten')).rejects.toMatchObject({ code: 2 })
})
