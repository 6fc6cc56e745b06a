import type { TfjsRule } from './rule.ts'

/** The channels of each pixel as a matrix of groups, transposed. */
const channelShuffle: TfjsRule<'channelShuffle'> = {
  write(step, writer) {
    const { shape, layer } = step
    const [height, width, channels] = shape
    const { groups } = layer
    const name = writer.nameOf(step.id)
    const target = [height * width, groups, channels / groups]
    const runs = writer.layer('Reshape', `${name}_runs`, writer.images(step), { target_shape: target })
    const turned = writer.layer('Permute', `${name}_turned`, [runs], { dims: [1, 3, 2] })
    writer.layer('Reshape', name, [turned], { target_shape: [...shape] })
  },
}

export { channelShuffle }
