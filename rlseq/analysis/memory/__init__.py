"""What a core remembers: influence of inputs on outputs, growth of its state, fixed points."""
