import { expect, test } from 'vitest'
import { countCores } from '../../engine/backends/physical-cores.ts'

const processor = (index: number, packageId: number, core: number) =>
  `processor\t: ${index}\nvendor_id\t: GenuineIntel\nphysical id\t: ${packageId}\nsiblings\t: 4\ncore id\t\t: ${core}\ncpu cores\t: 2\n`

test('two threads of a core count once, the same core number on two packages counts twice', () => {
  const processors = [processor(0, 0, 0), processor(1, 0, 1), processor(2, 1, 0), processor(3, 0, 0), processor(4, 0, 1)]
  expect(countCores(processors.join('\n'))).toBe(3)
})

test('a machine that does not number its cores is not guessed at', () => {
  expect(countCores('processor\t: 0\nBogoMIPS\t: 50.00\n\nprocessor\t: 1\nBogoMIPS\t: 50.00\n')).toBe(0)
})
