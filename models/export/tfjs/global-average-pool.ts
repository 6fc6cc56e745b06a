import type { TfjsRule } from './rule.ts'

const globalAveragePool: TfjsRule<'globalAveragePool'> = {
  write: (step, writer) =>
    writer.vectorLayer('GlobalAveragePooling2D', writer.nameOf(step.id), writer.images(step), { data_format: 'channels_last' }),
}

export { globalAveragePool }
