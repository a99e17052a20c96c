export default {
  status: 'Deprecated',
  contextLength: '32k',
  pricing: {
    input: [{ price: 0.004, denominator: '/Min' }, { price: 0.1, denominator: '/M Tokens' }],
    output: [{ price: 0.3, denominator: '/M Smells' }],
  },
  identifiers: { apiNames: ['test-speech-1'] },
} as const satisfies StaticModel;
