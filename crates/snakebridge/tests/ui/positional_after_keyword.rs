fn main() {
    let _args = snakebridge::args![1, ndigits = 2, 3];
}
