import type { TfjsRule } from './rule.ts'

const crop: TfjsRule<'crop'> = {
  write(step, writer) {
    const { top, left } = step.layer
    const cropping = [
      [top, 0],
      [left, 0],
    ]
    writer.layer('Cropping2D', writer.nameOf(step.id), writer.images(step), { cropping, data_format: 'channels_last' })
  },
}

export { crop }
